//! The `glm4v` command.

fn main() {}
