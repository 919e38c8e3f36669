//! A wrong value at the end of `main` is reported at the value.

#[trio::main]
async fn main() -> trio::Result {
    "done"
}
