namespace Peft

open System
open System.Buffers
open System.IO
open System.Text
open System.Text.Json
open System.Text.Unicode

/// The values of a JSON text one after another, as bytes: those of an array at the top, or those that follow each other,
/// one a line or not. A value is found by its brackets and quotes alone; whoever parses it finds its faults. One value
/// is in memory at a time.
type internal JsonPieces(file: string, source: Stream) =
    static let structure = SearchValues.Create("\"{}[]\n"B)
    static let inString = SearchValues.Create("\"\\\n"B)
    static let scalarEnd = SearchValues.Create(" \t\r\n,]}"B)

    let mutable buffer = Array.zeroCreate<byte>(1 <<< 16)
    let mutable first = 0
    let mutable beyond = 0
    let mutable line = 1
    let mutable isOver = false
    let mutable isArray = false

    /// Gets more bytes behind those from `first` on; false at the end of the text.
    let more (limit: int) : bool =
        if first > 0 then
            Buffer.BlockCopy(buffer, first, buffer, 0, beyond - first)
            beyond <- beyond - first
            first <- 0

        if beyond = buffer.Length then
            Array.Resize(&buffer, int (min (int64 limit + 65536L) (2L * int64 buffer.Length)))

        let got = source.Read(buffer, beyond, buffer.Length - beyond)
        beyond <- beyond + got
        got > 0

    let rec skipBlanks () =
        while first < beyond
              && (buffer[first] = 32uy
                  || buffer[first] = 9uy
                  || buffer[first] = 13uy
                  || buffer[first] = 10uy) do
            if buffer[first] = 10uy then
                line <- line + 1

            first <- first + 1

        if first < beyond then true
        elif more 0 then skipBlanks ()
        else false

    /// The length of the value that starts at `first`, as far as it goes.
    let scan (limit: int) : int =
        let mutable place = 0
        let mutable depth = 0
        let mutable isText = false
        let mutable isDone = false

        let isScalar =
            match buffer[first] with
            | 123uy
            | 91uy
            | 34uy -> false
            | _ -> true

        if isScalar then
            place <- 1

        while not isDone do
            let rest = ReadOnlySpan(buffer, first + place, beyond - first - place)

            let found =
                if isScalar then rest.IndexOfAny scalarEnd
                elif isText then rest.IndexOfAny inString
                else rest.IndexOfAny structure

            if found < 0 then
                place <- place + rest.Length

                if place > limit || not (more limit) then
                    isDone <- true
            elif isScalar then
                place <- place + found
                isDone <- true
            else
                let sign = rest[found]
                place <- place + found + 1

                match sign with
                // A text does not go over a line's end: the fault lies here.
                | 10uy when isText -> isDone <- true
                | 10uy -> ()
                | 34uy ->
                    isText <- not isText
                    isDone <- not isText && depth = 0
                | 92uy ->
                    if first + place = beyond && not (more limit) then
                        isDone <- true
                    else
                        place <- place + 1
                | 123uy
                | 91uy -> depth <- depth + 1
                | _ ->
                    depth <- depth - 1
                    isDone <- depth <= 0

        min place (beyond - first)

    let invalid (what: string) : 'a =
        userError
            $"{file} is not valid JSON at line {line}: {what}. Correct it: one object a line, or one array of objects."

    let linesOf (start: int) (length: int) =
        ReadOnlySpan(buffer, start, length).Count 10uy

    do
        // A byte order mark.
        while beyond < 3 && more 0 do
            ()

        if beyond >= 3 && buffer[0] = 0xEFuy && buffer[1] = 0xBBuy && buffer[2] = 0xBFuy then
            first <- 3

        if not (skipBlanks ()) then
            userError $"{file} is empty. Fetch or write it again."

        if buffer[first] = 91uy then
            isArray <- true
            first <- first + 1

            if skipBlanks () && buffer[first] = 93uy then
                userError $"{file} has no data rows. Fetch or write it again."

    /// Whether the text is one array.
    member _.IsArray: bool = isArray

    /// Whether nothing but blanks is left.
    member _.IsAtEnd: bool = not (skipBlanks ())

    /// The next value's first line, and its bytes, which stay as they are until the next call. None at the end.
    member _.Next(limit: int) : struct (int * ReadOnlyMemory<byte>) voption =
        if isOver || not (skipBlanks ()) then
            if isArray && not isOver then
                invalid "the array is not closed"

            ValueNone
        elif not isArray && buffer[first] = 44uy then
            invalid "a comma stands behind an object"
        else
            let start = line
            let mutable length = scan limit

            // What is not closed goes to the end of the text; the blanks there belong to no line of it.
            while length > 1 && Char.IsWhiteSpace(char buffer[first + length - 1]) do
                length <- length - 1

            let value = ReadOnlyMemory(buffer, first, length)

            if not (Utf8.IsValid value.Span) then
                raise (DecoderFallbackException())

            if length > limit then
                DataFile.tooLong file $"line {start}" limit

            line <- line + linesOf first length
            first <- first + length
            ValueSome(struct (start, value))

    /// In an array, passes over the comma or the end behind a value.
    member _.PassSeparator() : unit =
        if isArray then
            if not (skipBlanks ()) then
                invalid "the array is not closed"

            match buffer[first] with
            | 44uy ->
                first <- first + 1

                if skipBlanks () && buffer[first] = 93uy then
                    invalid "a comma stands before the end of the array"
            | 93uy ->
                first <- first + 1
                isOver <- true

                if skipBlanks () then
                    invalid "something follows the array"
            | _ -> invalid "a comma is missing between two rows"
