//! A body may end in a statement that is never passed, whatever becomes of the block's value.
#![deny(warnings)]

use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

async fn never() -> ! {
    trio::nursery! { |n|
        n.start_soon(trio::checkpoint());
        trio::shield!({ trio::sleep_forever().await; })
    }
}

async fn thrown_away() {
    trio::nursery! { |_n| trio::sleep_forever().await; };
    trio::nursery! { |_n, _scope| trio::sleep_forever().await; };
    let _ = trio::try_nursery! { |_n| trio::sleep_forever().await; };
    let _ = trio::try_nursery! { |_n, _scope| never().await; };
    trio::cancel_scope! { |_scope| trio::sleep_forever().await; };
    trio::move_on_after!(HOUR, { trio::sleep_forever().await; });
    trio::move_on_at!(trio::current_time(), { trio::sleep_forever().await; });
    let _ = trio::fail_after!(HOUR, { trio::sleep_forever().await; });
    let _ = trio::fail_at!(trio::current_time(), { trio::sleep_forever().await; });
    trio::shield!({ trio::sleep_forever().await; });
}

async fn branches(number: u32) {
    let outcome = trio::move_on_after!(HOUR, {
        trio::cancel_scope! { |_scope|
            match number {
                0 => {
                    trio::sleep_forever().await;
                }
                _ => {
                    if number == 1 {
                        never().await;
                    } else {
                        return;
                    }
                }
            }
        }
    });
    assert!(outcome.is_none());
}

async fn number() -> u32 {
    let number = loop {
        trio::nursery! { |n|
            n.start_soon(trio::checkpoint());
            break 5;
        };
    };
    trio::shield!({
        return number;
    })
}

fn main() {
    trio::run(async {
        assert_eq!(number().await, 5);
        trio::cancel_scope! { |scope|
            scope.cancel();
            thrown_away().await;
        };
        branches(2).await;
    });
}
