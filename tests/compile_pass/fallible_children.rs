//! The twins of `fallible_child`, `fallible_inline_child`, `child_with_a_value` and `child_with_another_error`.

#[derive(Debug)]
struct MyError;

impl From<std::io::Error> for MyError {
    fn from(_: std::io::Error) -> Self {
        MyError
    }
}

async fn fallible() -> Result<(), std::io::Error> {
    trio::checkpoint().await;
    Ok(())
}

fn main() {
    trio::run(async {
        let boxed = trio::try_nursery! { |n|
            n.start_soon(fallible());
            n.start_soon(async {
                fallible().await?;
                Ok(())
            });
            n.try_spawn(async { Ok::<u32, std::io::Error>(5) }).join().await.unwrap()
        };
        assert_eq!(boxed.unwrap(), 5);

        let own = trio::try_nursery! { |n| -> Result<_, MyError>
            n.start_soon(fallible());
            n.start_soon(async {
                fallible().await?;
                Err(MyError)
            });
        };
        assert_eq!(own.unwrap_err().len(), 1);

        let value = trio::nursery! { |n| n.spawn(async { 5 }).join().await.unwrap() };
        assert_eq!(value, 5);
    });
}
