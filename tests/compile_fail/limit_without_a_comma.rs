//! A comma is missing behind the limit, or something else is wrong with it.

use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn main() {
    trio::run(async {
        trio::move_on_after!(HOUR { trio::checkpoint().await });
        trio::move_on_at!(trio::current_time(); { trio::checkpoint().await });
        trio::fail_after!({ trio::checkpoint().await });
        trio::fail_at!(, { trio::checkpoint().await });
        trio::move_on_after!(HOUR, |scope| { trio::checkpoint().await });
        trio::move_on_after!(HOUR, { trio::checkpoint().await }, 3);
        trio::move_on_after!(HOUR, trio::checkpoint().await);
    });
}
