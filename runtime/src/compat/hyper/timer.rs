//! hyper's clock.
#![forbid(unsafe_code)]

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::kernel::sleep::{PolledSleep, current_time};

/// The run's clock as hyper's, which may be a virtual one.
///
/// hyper wants its sleeps to be `Send`: these are, but panic if they are polled outside of their run.
///
/// # Examples
///
/// ```
/// use hyper::rt::Timer as _;
/// use std::time::Duration;
/// use trio::{compat::hyper::Timer, testing::MockClock};
/// trio::Builder::new().clock(MockClock::new().autojump()).run(async {
///     let before = trio::current_time();
///     Timer.sleep(Duration::from_secs(60)).await;
///     assert_eq!(trio::current_time() - before, Duration::from_secs(60));
/// });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let now = current_time();
        // Further away than there is time.
        self.sleep_until(now.checked_add(duration).unwrap_or_else(|| now + Duration::from_secs(1 << 32)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(PolledSleep::until(deadline)))
    }

    fn now(&self) -> Instant {
        current_time()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(sleep) => sleep.get_mut().0.set_deadline(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

struct Sleep(PolledSleep);

impl hyper::rt::Sleep for Sleep {}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll(context)
    }
}
