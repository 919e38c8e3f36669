//! The children of `nursery!` cannot fail; the message says which macro is for those that can.

async fn fallible() -> Result<(), std::io::Error> {
    trio::checkpoint().await;
    Ok(())
}

fn main() {
    trio::run(async {
        trio::nursery! { |n|
            n.start_soon(fallible());
        };
    });
}
