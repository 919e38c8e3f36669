//! A wrong type is reported at the value returned, broken with or tested.

async fn number() -> u32 {
    loop {
        trio::nursery! { |_n|
            if true {
                return "five";
            }
            let text: String = "5".parse::<u32>().ok().unwrap_or_default();
            if text.len() {
                break Some(5);
            }
        };
    }
}

fn main() {
    trio::run(number());
}
