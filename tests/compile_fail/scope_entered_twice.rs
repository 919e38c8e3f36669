//! A cancel scope can be entered once.

fn main() {
    trio::run(async {
        let scope = trio::CancelScope::new();
        scope.run(trio::checkpoint()).await;
        scope.run(trio::checkpoint()).await;
    });
}
