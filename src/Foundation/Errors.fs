namespace Peft

/// Something a user can put right: the message says what is wrong, where, and what to do. The command line prints it
/// as one line and exits with 1.
exception UserError of message: string with
    override error.Message = error.message

[<AutoOpen>]
module UserErrors =
    /// Raises `UserError` with `message`.
    let userError (message: string) : 'a = raise (UserError message)
