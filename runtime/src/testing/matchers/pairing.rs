//! Assigning what is there to what is expected, each to one.

/// As many pairs as there can be.
pub(super) struct Pairing {
    /// Which error each member has.
    by_member: Vec<Option<usize>>,
    /// Which member each error has.
    by_error: Vec<Option<usize>>,
}

impl Pairing {
    /// Finds as many pairs as there can be (augmenting paths: a member that finds its errors taken asks those who have
    /// them to take others).
    pub(super) fn find<M, T>(members: &[M], errors: &[T], fits: impl Fn(&M, &T) -> bool) -> Self {
        let fitting: Vec<Vec<usize>> = members
            .iter()
            .map(|member| (0..errors.len()).filter(|&error| fits(member, &errors[error])).collect())
            .collect();
        let mut pairing = Self { by_member: vec![None; members.len()], by_error: vec![None; errors.len()] };
        for member in 0..members.len() {
            pairing.place(member, &fitting, &mut vec![false; errors.len()]);
        }
        pairing
    }

    /// Gives a member an error, moving others if need be; whether that was possible.
    fn place(&mut self, member: usize, fitting: &[Vec<usize>], asked: &mut [bool]) -> bool {
        for &error in &fitting[member] {
            if std::mem::replace(&mut asked[error], true) {
                continue;
            }
            let free = match self.by_error[error] {
                None => true,
                Some(owner) => self.place(owner, fitting, asked),
            };
            if free {
                self.by_error[error] = Some(member);
                self.by_member[member] = Some(error);
                return true;
            }
        }
        false
    }

    pub(super) fn is_complete(&self) -> bool {
        self.members_left().next().is_none() && self.errors_left().next().is_none()
    }

    /// Members with their errors.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.by_member.iter().enumerate().filter_map(|(member, error)| error.map(|error| (member, error)))
    }

    pub(super) fn members_left(&self) -> impl Iterator<Item = usize> {
        left(&self.by_member)
    }

    pub(super) fn errors_left(&self) -> impl Iterator<Item = usize> {
        left(&self.by_error)
    }
}

fn left(partners: &[Option<usize>]) -> impl Iterator<Item = usize> {
    partners.iter().enumerate().filter(|(_, partner)| partner.is_none()).map(|(place, _)| place)
}
