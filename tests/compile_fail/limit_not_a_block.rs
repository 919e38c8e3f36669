//! The block macros take blocks; for a future there are functions.

fn main() {
    trio::run(async {
        trio::move_on_after!(std::time::Duration::ZERO, trio::checkpoint());
        trio::move_on_at!(trio::current_time(), async { 5 });
        trio::fail_after!(std::time::Duration::ZERO);
        trio::fail_at!({ 5 }, trio::current_time());
        trio::move_on_after!();
        trio::move_on_after!(std::time::Duration::ZERO,);
        trio::shield!(trio::checkpoint());
        trio::shield!();
    });
}
