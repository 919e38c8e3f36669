//! A nursery stays on its own thread.

fn main() {
    trio::run(async {
        trio::nursery! { |n|
            std::thread::scope(|threads| {
                threads.spawn(|| n.child_count());
            });
        };
    });
}
