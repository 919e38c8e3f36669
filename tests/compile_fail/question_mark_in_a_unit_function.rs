//! A `?` needs a function that returns the like; it is reported at the question mark.

async fn unit() {
    trio::nursery! { |_n|
        trio::shield!({
            std::fs::read("a file")?;
        });
    };
}

fn main() {
    trio::run(unit());
}
