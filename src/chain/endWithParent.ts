// Loaded into a child process before its program: the child ends when its parent is gone, even by SIGKILL.
process.on("disconnect", () => process.exit(0));
