//! A task handle stays on its own thread.

fn main() {
    trio::run(async {
        trio::nursery! { |n|
            let handle = n.spawn(async { 1 });
            std::thread::scope(|threads| {
                threads.spawn(move || handle.cancel());
            });
        };
    });
}
