//! One schedule, with the text that names it.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::kernel::schedule::Deviation;

/// One way to decide what nobody promised: see [`Exploration`](super::Exploration).
///
/// Its text is what `TRIO_SEED` takes: `fifo`, the number of a random schedule, or the choices that differ from `fifo`, as
/// `place:choice` with commas between.
///
/// # Examples
///
/// ```
/// use trio::testing::Schedule;
///
/// for text in ["fifo", "17", "4:1,9:2"] {
///     let schedule: Schedule = text.parse()?;
///     assert_eq!(schedule.to_string(), text);
/// }
/// assert!("9:2,4:1".parse::<Schedule>().is_err());
/// # Ok::<(), trio::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(pub(super) Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Seed(u64),
    Choices(Vec<Deviation>),
}

impl Schedule {
    /// First in, first out, and every operation yields: how a test runs that does not ask for more.
    pub const FIFO: Self = Self(Kind::Choices(Vec::new()));

    /// The random schedule with this number.
    pub const fn seeded(seed: u64) -> Self {
        Self(Kind::Seed(seed))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Seed(seed) => seed.fmt(f),
            Kind::Choices(choices) if choices.is_empty() => f.write_str("fifo"),
            Kind::Choices(choices) => {
                for (number, Deviation { at, choice, .. }) in choices.iter().enumerate() {
                    write!(f, "{}{at}:{choice}", if number > 0 { "," } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

/// Text that names no [`Schedule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidScheduleError(String);

impl fmt::Display for InvalidScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not a schedule: a number, 'fifo', or choices such as '4:1,9:2', places in rising order",
            self.0
        )
    }
}

impl Error for InvalidScheduleError {}

impl FromStr for Schedule {
    type Err = InvalidScheduleError;

    fn from_str(text: &str) -> Result<Self, InvalidScheduleError> {
        let text = text.trim();
        if text == "fifo" {
            return Ok(Self::FIFO);
        }
        if let Ok(seed) = text.parse() {
            return Ok(Self::seeded(seed));
        }
        let choice = |part: &str| {
            let (at, choice) = part.split_once(':')?;
            Some(Deviation { at: at.parse().ok()?, choice: choice.parse().ok()?, of: None })
        };
        let choices: Option<Vec<Deviation>> = text.split(',').map(choice).collect();
        choices
            .filter(|choices| choices.is_sorted_by(|one, next| one.at < next.at))
            .map(|choices| Self(Kind::Choices(choices)))
            .ok_or_else(|| InvalidScheduleError(text.to_owned()))
    }
}
