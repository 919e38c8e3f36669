//! Only `try_nursery!` has an error type to write.

fn main() {
    trio::run(async {
        trio::nursery! { |n| -> Result<_, String> n.start_soon(async {}); };
        trio::cancel_scope! { |scope| -> Option<u32> scope.cancel(); };
        let _ = trio::try_nursery! { |n| -> &str n.start_soon(async {}); };
    });
}
