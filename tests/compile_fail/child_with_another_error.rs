//! A task's error has to convert to the error type that is written.

struct MyError;

async fn fallible() -> Result<(), std::io::Error> {
    trio::checkpoint().await;
    Ok(())
}

fn main() {
    trio::run(async {
        let _ = trio::try_nursery! { |n| -> Result<_, MyError>
            n.start_soon(fallible());
        };
    });
}
