// Loaded into a child process before its program: the child ends when its parent is gone, even by SIGKILL.
process.on("disconnect", () => process.exit(0));
// The channel alone does not keep it alive.
process.channel?.unref();
