//! Results of formats that declare none.
//!
//! sysdig prints the result once more as the first argument of an exit: `res=-110(ETIMEDOUT)`, or `fd=-11(EAGAIN)` where it is
//! a descriptor. The kernel's side writes it in front of everything that a container chooses.

use crate::names::Name;

/// Calls whose result is an address, printed in hexadecimal digits without a sign for them.
fn returns_address(name: &[u8]) -> bool {
    matches!(name, b"brk" | b"mmap" | b"mmap2" | b"mremap" | b"shmat")
}

/// The result that the arguments of an exit begin with.
pub(crate) fn of_arguments(name: &Name, arguments: &[u8]) -> Option<i64> {
    let arguments = arguments.trim_ascii_start();
    let value = arguments.strip_prefix(b"res=").or_else(|| arguments.strip_prefix(b"fd="))?;
    let (is_negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let radix = if returns_address(name.bytes()) && !is_negative { 16 } else { 10 };
    let mut magnitude: i64 = 0;
    let mut length = 0;
    for &byte in digits {
        let Some(digit) = char::from(byte).to_digit(radix) else { break };
        magnitude = magnitude.checked_mul(i64::from(radix))?.checked_add(i64::from(digit))?;
        length += 1;
    }
    let stands_alone = matches!(digits.get(length), None | Some(b' ' | b'('));
    (length > 0 && stands_alone).then_some(if is_negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Names;

    fn result(name: &str, arguments: &str) -> Option<i64> {
        let mut names = Names::new();
        let number = names.number(name.as_bytes(), None);
        of_arguments(names.get(number), arguments.as_bytes())
    }

    #[test]
    fn the_first_argument_of_an_exit_is_its_result() {
        assert_eq!(result("futex", "res=-110(ETIMEDOUT) "), Some(-110));
        assert_eq!(result("futex", " res=0 "), Some(0));
        assert_eq!(result("accept", "fd=-11(EAGAIN) tuple=NULL queuepct=0 "), Some(-11));
        assert_eq!(result("open", "fd=9(<f>/proc/sys) name=/x "), Some(9));
        assert_eq!(result("clone", "res=17498(curl) exe=x "), Some(17_498));
        assert_eq!(result("mmap", "res=7FE87C0D1000 vm_size=1 "), Some(0x7fe8_7c0d_1000));
        assert_eq!(result("mmap", "res=-12(ENOMEM) "), Some(-12));
        assert_eq!(result("brk", "res=926000 vm_size=360 "), Some(0x92_6000));
    }

    #[test]
    fn anything_else_is_no_result() {
        for arguments in [
            "",
            "res=",
            "res=7FE87C0D ",
            "name=res=3 ",
            "data=x res=3 ",
            "res=1x",
            "res=99999999999999999999 ",
            "fd=-",
        ] {
            assert_eq!(result("read", arguments), None, "{arguments}");
        }
    }
}
