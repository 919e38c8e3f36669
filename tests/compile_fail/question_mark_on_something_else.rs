//! A `?` on what has none, or on what is to be awaited first, is reported where it stands.

async fn read() -> Option<u32> {
    trio::checkpoint().await;
    Some(5)
}

async fn run() -> Option<()> {
    trio::nursery! { |_n|
        let number = 5?;
        let other = read()?;
        assert_eq!(number, other);
    };
    None
}

fn main() {
    trio::run(run());
}
