//! Waiting in real time, for what other programs do: the run's own clock may be a virtual one, which stands still meanwhile
//! or jumps.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

/// Waits this long, whatever the run's clock says. A checkpoint.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) async fn pause(time: Duration) -> io::Result<()> {
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };

    use crate::kernel::reactor::{Direction, Registration, Rest};

    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let it_value = Timespec::try_from(time).map_err(io::Error::other)?;
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: once, it_value })?;
    // Dropped before the timer, which has to be there for that.
    let registration = Registration::new(&timer, false)?;
    let expired = || Ok(rustix::io::read(&timer, &mut [0; 8])?);
    registration.io(Direction::Read, expired, |_| Rest::Nothing).await.map(drop)
}

/// Waits this long, whatever the run's clock says. A checkpoint.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) async fn pause(time: Duration) -> io::Result<()> {
    let call = crate::to_thread::Call::new().abandonable().name("pause");
    call.try_run_sync(move || std::thread::sleep(time)).await
}
