//! Nor can the call of an `async fn`.

async fn read(text: &str) {
    trio::checkpoint().await;
    println!("{text}");
}

fn main() {
    trio::run(async {
        trio::nursery! { |n|
            let local = String::from("local");
            n.start_soon(read(&local));
        };
    });
}
