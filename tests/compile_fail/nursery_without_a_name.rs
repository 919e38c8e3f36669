//! Bars with nothing between them, or too much.

fn main() {
    trio::run(async {
        trio::nursery! { || trio::checkpoint().await; };
        trio::nursery! { | | trio::checkpoint().await; };
        trio::nursery! { |n, scope, extra, more| n.start_soon(trio::checkpoint()); };
        trio::cancel_scope! { |scope, n| scope.cancel(); };
    });
}
