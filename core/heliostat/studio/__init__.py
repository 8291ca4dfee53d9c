"""Studio: a web page and a REST API over the jobs of a database, and a coordinator process that runs them.

Two processes. The web process (`server`) submits, watches and controls, and runs nothing; the coordinator process
(`coordinator_process`), which it starts and looks after (`coordinator`), runs what is pending. Both know each other's
doings from the database alone, as the command line does. Needs `heliostat[studio]`; nothing of it is imported unless
`heliostat studio` is called.
"""
