//! The attribute goes on a function.

#[trio::main]
struct Main;

fn main() {}
