//! Returning twice from one task. The generated bindings cannot, so this calls the intrinsic that they call.

use kit_p3::{Answered, text};
use std::mem::MaybeUninit;

#[link(wasm_import_module = "[export]wasi:http/handler@0.3.0")]
unsafe extern "C" {
    // result<own<response>, error-code>, flattened: the tag, the handle, then room for an error's payload.
    #[link_name = "[task-return]handle"]
    fn task_return(
        tag: i32,
        handle: i32,
        _: i32,
        _: MaybeUninit<u64>,
        _: *mut u8,
        _: *mut u8,
        _: usize,
        _: i32,
    );
}

/// Returns one response behind the bindings' back and another through them. The host must refuse the second.
pub fn respond() -> Answered {
    let first = text(200, "first\n")?;
    let handle = first.take_handle().cast_signed();
    let none = std::ptr::null_mut();
    // SAFETY: the handle is owned and given away; the other words are not read for a tag of 0.
    unsafe { task_return(0, handle, 0, MaybeUninit::zeroed(), none, none, 0, 0) };
    text(200, "second\n")
}
