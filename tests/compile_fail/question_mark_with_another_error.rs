//! An error that does not convert is reported at the question mark.

async fn converts() -> Result<(), std::num::ParseIntError> {
    trio::nursery! { |_n|
        std::fs::read("a file")?;
    };
    Ok(())
}

fn main() {
    let _ = trio::run(converts());
}
