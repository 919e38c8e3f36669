//! A duration is not an instant; it is the limit that is pointed at.

use std::time::Duration;

fn main() {
    trio::run(async {
        trio::move_on_at!(Duration::ZERO, { trio::checkpoint().await });
        trio::move_on_after!(5, { trio::checkpoint().await });
    });
}
