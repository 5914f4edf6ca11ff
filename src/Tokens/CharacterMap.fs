namespace Peft

open System
open System.Buffers.Binary
open System.Globalization
open System.Text

/// SentencePiece's normalisation: the longest match in a table of character sequences is replaced, over and over.
/// Microsoft.ML.Tokenizers 2.0.1 has one too, which keeps the control characters whose replacement is empty.
[<Sealed>]
type internal CharacterMap(map: byte[]) =
    // The file's layout: the trie's size in bytes, the trie (a double array of uint32 after Darts-clone), and the
    // replacements, each closed by a zero byte.
    let units =
        if map.Length < 4 then
            0
        else
            int (BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlySpan map) / 4u)

    let unit (node: int) : uint32 =
        BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlySpan(map, 4 + 4 * node, 4))

    let offset (value: uint32) : int =
        int ((value >>> 10) <<< int ((value &&& 0x200u) >>> 6))

    /// The length of the longest sequence at text[from ..], or of the shortest, and where its replacement starts; 0 where
    /// there is none.
    let search (takesShortest: bool) (text: byte[]) (from: int) : struct (int * int) =
        let mutable length = 0
        let mutable replacement = 0

        if units > 0 then
            let mutable node = offset (unit 0)
            let mutable at = from
            let mutable walking = true

            while walking && at < text.Length do
                node <- node ^^^ int text[at]
                walking <- text[at] <> 0uy && node >= 0 && node < units

                if walking then
                    let value = unit node
                    walking <- value &&& 0x800000FFu = uint32 text[at]

                    if walking then
                        node <- node ^^^ offset value
                        at <- at + 1

                        if value &&& 0x100u <> 0u && node >= 0 && node < units then
                            length <- at - from
                            replacement <- 4 + 4 * units + int (unit node &&& 0x7FFFFFFFu)
                            walking <- not takesShortest

        struct (length, replacement)

    let addReplacement (start: int) (result: ResizeArray<byte>) : unit =
        let mutable from = start

        while from >= 0 && from < map.Length && map[from] <> 0uy do
            result.Add map[from]
            from <- from + 1

    /// Where the replacement of each ASCII character by itself starts, -1 where it has none.
    let ascii =
        lazy
            Array.init 128 (fun code ->
                let struct (length, replacement) = search true [| byte code |] 0
                if length > 0 then replacement else -1)

    /// Whether the table lies inside the file's bytes and each replacement is closed.
    member _.IsWhole: bool =
        map.Length = 0
        || (int64 map.Length > 4L + 4L * int64 units
            && units > 0
            && map[map.Length - 1] = 0uy)

    /// SentencePiece's reading: the longest sequence at each place.
    member _.Normalize(text: string) : string =
        let bytes = Encoding.UTF8.GetBytes text
        let result = ResizeArray<byte> bytes.Length
        let mutable at = 0

        while at < bytes.Length do
            let struct (length, replacement) = search false bytes at

            if length > 0 then
                addReplacement replacement result
                at <- at + length
            else
                // One whole character: its first byte and the continuations.
                result.Add bytes[at]
                at <- at + 1

                while at < bytes.Length && bytes[at] &&& 0xC0uy = 0x80uy do
                    result.Add bytes[at]
                    at <- at + 1

        Encoding.UTF8.GetString(result.ToArray())

    /// Hugging Face's reading, whose ids differ in rare texts (stacked accents, U+0085): a grapheme of fewer than six bytes
    /// is replaced by what its shortest sequence stands for, and otherwise each of its characters is.
    member _.NormalizeGraphemes(text: string) : string =
        let result = ResizeArray<byte> text.Length
        let ascii = ascii.Value

        let replaces (bytes: byte[]) : bool =
            let struct (length, replacement) = search true bytes 0

            if length > 0 then
                addReplacement replacement result

            length > 0

        let addGrapheme (grapheme: string) : unit =
            let bytes = Encoding.UTF8.GetBytes grapheme

            if not (bytes.Length < 6 && replaces bytes) then
                for rune in grapheme.EnumerateRunes() do
                    let character = Encoding.UTF8.GetBytes(rune.ToString())

                    if not (replaces character) then
                        result.AddRange character

        let mutable at = 0

        while at < text.Length do
            let isLast = at + 1 = text.Length

            // An ASCII character before another is a grapheme, but at a line's end of two.
            if text[at] < '\u0080' && text[at] <> '\r' && (isLast || text[at + 1] < '\u0080') then
                match ascii[int text[at]] with
                | -1 -> result.Add(byte text[at])
                | replacement -> addReplacement replacement result

                at <- at + 1
            else
                let length = StringInfo.GetNextTextElementLength(text, at)
                addGrapheme (text.Substring(at, length))
                at <- at + length

        Encoding.UTF8.GetString(result.ToArray())
