"""From a document, frames or a video file to a `JobSpec`."""
