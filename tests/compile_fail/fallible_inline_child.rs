//! The same for an inline task.

fn main() {
    trio::run(async {
        trio::nursery! { |n|
            n.start_soon(async {
                std::fs::read("a file")?;
                Ok::<(), std::io::Error>(())
            });
        };
    });
}
