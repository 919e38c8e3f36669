//! The twin of the `main_…` mistakes.

#[trio::main(crate = trio, clock = trio::testing::MockClock::new().autojump(), seed = 7, ctrl_c = "ignore")]
async fn main() -> trio::Result {
    trio::sleep(std::time::Duration::from_secs(3600)).await;
    Ok(())
}
