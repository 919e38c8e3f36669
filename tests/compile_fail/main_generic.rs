//! `main` is no generic and no unsafe function.

#[trio::main]
async unsafe fn main<T>() {}
