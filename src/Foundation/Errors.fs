namespace Peft

open System

/// Something a user can put right: the message says what is wrong, where, and what to do. The command line prints it
/// as one line and exits with 1.
exception UserError of message: string with
    override error.Message = error.message

/// Raising what a user can put right.
[<AutoOpen>]
module UserErrors =
    let private most = 1200
    let private tail = 300

    /// A message quotes files, whose words may be long and may steer a terminal: it is made one line of bounded length, whose
    /// end, which says what to do, stays.
    let private fit (message: string) : string =
        let plain =
            message
            |> String.map (fun letter ->
                if Char.IsControl letter || letter = '\u2028' || letter = '\u2029' then
                    ' '
                else
                    letter)

        if plain.Length <= most then
            plain
        else
            plain.Substring(0, most - tail) + " … " + plain.Substring(plain.Length - tail)

    /// Raises `UserError` with `message`.
    let userError (message: string) : 'a = raise (UserError(fit message))
