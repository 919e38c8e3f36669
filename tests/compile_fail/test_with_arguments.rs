//! A test takes the clock or nothing.

#[trio::test]
async fn a_test(clock: trio::testing::MockClock, name: &str) {
    drop((clock, name));
}

fn main() {}
