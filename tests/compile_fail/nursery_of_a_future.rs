//! The body is a block, not a future, however it is written.

fn main() {
    trio::run(async {
        trio::nursery!(async |n| { n.start_soon(async {}) });
        trio::nursery!(|n| async { n.start_soon(async {}) });
        trio::nursery!(|n| async move { n.start_soon(async {}) });
        trio::nursery!(|n| move { n.start_soon(async {}) });
        trio::shield!(async { trio::checkpoint().await });
    });
}
