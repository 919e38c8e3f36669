//! `main` has to be `async`; nothing else is reported.

#[trio::main]
fn main() {
    trio::checkpoint().await;
}
