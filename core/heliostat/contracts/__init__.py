"""What an implementation of Heliostat's parts must do: one small interface each."""
