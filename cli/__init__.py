"""The `bitacora` command: one file, or folder, per subcommand."""
