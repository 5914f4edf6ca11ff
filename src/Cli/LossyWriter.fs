namespace Peft

open System
open System.IO
open System.Text

/// A console writer on which a full disk or a closed pipe stops nothing: what cannot be written is lost, and that is told
/// in the end.
[<Sealed>]
type internal LossyWriter(inner: TextWriter) =
    inherit TextWriter()
    let mutable loss = ""

    let attempt (write: unit -> unit) =
        try
            write ()
        with
        | :? IOException
        | :? UnauthorizedAccessException as error ->
            if loss = "" then
                loss <- error.Message

    /// Why something was lost; empty where nothing was.
    member _.Loss: string = loss

    override _.Encoding: Encoding = inner.Encoding
    override _.Write(value: char) = attempt (fun () -> inner.Write value)
    override _.Write(value: string | null) = attempt (fun () -> inner.Write value)

    override _.WriteLine(value: string | null) =
        attempt (fun () -> inner.WriteLine value)

    override _.Write(buffer: char[], index: int, count: int) =
        attempt (fun () -> inner.Write(buffer, index, count))

    override _.Flush() = attempt inner.Flush
