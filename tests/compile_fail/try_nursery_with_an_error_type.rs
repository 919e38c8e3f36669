//! What is written is a `Result`, not the error alone.

struct MyError;

fn main() {
    trio::run(async {
        let _ = trio::try_nursery! { |n| -> MyError
            n.start_soon(async {});
        };
    });
}
