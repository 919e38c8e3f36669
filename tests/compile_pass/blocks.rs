//! The twins of the mistakes in the block macros: what was meant.

use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

async fn number(text: &str) -> trio::Result<u32> {
    let number = 'here: {
        trio::nursery! { |n|
            n.start_soon(trio::checkpoint());
            if text.is_empty() {
                break 'here 0;
            }
            trio::shield!({ text.parse::<u32>()? })
        }
    };
    let doubled = loop {
        trio::nursery! { |_n, scope|
            if number == 1 {
                scope.cancel();
                trio::checkpoint().await;
            }
            if number == 2 {
                return Ok(2000);
            }
            break number * 2;
        };
        break 1;
    };
    trio::try_nursery! { |_n| Some(doubled).filter(|doubled| *doubled != 6).ok_or("six")?; }?;
    Ok(doubled)
}

fn main() {
    trio::run(async {
        trio::nursery!(|n| { n.start_soon(async {}) });
        trio::nursery!(move |n| { n.start_soon(async {}) });
        trio::move_on_after!(HOUR, { trio::checkpoint().await });
        trio::move_on_after(HOUR, trio::checkpoint()).await;
        trio::move_on_at!(trio::current_time(), { 5 });
        trio::fail_after!(HOUR, { 5 }).unwrap();
        trio::fail_at!(trio::current_time() + HOUR, { 5 }).unwrap();
        trio::shield!({ trio::checkpoint().await });
        trio::shield(trio::checkpoint()).await;

        assert_eq!(number("").await.unwrap(), 0);
        assert_eq!(number("1").await.unwrap(), 1);
        assert_eq!(number("2").await.unwrap(), 2000);
        assert_eq!(number("3").await.unwrap_err().to_string().contains("six"), true);
        assert_eq!(number("4").await.unwrap(), 8);
        assert!(number("five").await.is_err());
    });
}
