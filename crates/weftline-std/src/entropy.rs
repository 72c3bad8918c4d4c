use weftline::Entropy;

/// The random generator of the operating system.
///
/// # Panics
/// Both methods, when the system has no randomness to give: nothing secure can go on then.
#[derive(Copy, Clone, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn public(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the operating system gives random bytes");
    }

    fn private(&mut self, out: &mut [u8]) {
        self.public(out);
    }
}
