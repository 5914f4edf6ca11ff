namespace Peft

// The parts of SentencePiece (Kudo and Richardson 2018) that `Tokenizer` does for itself.

open System
open System.Buffers.Binary
open System.Collections.Generic
open System.Text

/// What a SentencePiece model file says of itself: the pieces in order of id, and its settings.
type internal PieceModel =
    {
        Pieces: string[]
        /// Log-probabilities, by id.
        Scores: float[]
        /// Whether a piece may stand for text: it is neither unknown, control, unused nor a byte.
        IsText: bool[]
        /// 1 is Unigram; 2, 3 and 4 are BPE, words and characters.
        Kind: int
        Unknown: int
        Begin: int
        End: int
        Padding: int
        /// The compiled character map of the normalizer; none where the file ends before it.
        CharacterMap: byte[] option
    }

/// Reads the fields of `sentencepiece_model.proto` that encoding and the check of the layout need.
[<RequireQualifiedAccess>]
module internal PieceModel =
    /// The bytes are no protocol buffer of this kind.
    exception Damaged

    type private Field =
        | Number of uint64
        | Single of float32
        | Bytes of start: int * length: int
        | Skipped

    /// The fields of the message in bytes[start .. start + length - 1], as (field number, value).
    let private fields (bytes: byte[]) (start: int) (length: int) : (int * Field) list =
        let ends = start + length
        let mutable at = start

        let varint () =
            let mutable value = 0UL
            let mutable shift = 0
            let mutable more = true

            while more do
                if at >= ends || shift > 63 then
                    raise Damaged

                value <- value ||| ((uint64 bytes[at] &&& 0x7FUL) <<< shift)
                more <- bytes[at] >= 0x80uy
                shift <- shift + 7
                at <- at + 1

            value

        let skip (count: uint64) =
            if count > uint64 (ends - at) then
                raise Damaged

            at <- at + int count

        [
            while at < ends do
                let tag = varint ()

                let value =
                    match tag &&& 7UL with
                    | 0UL -> Number(varint ())
                    | 1UL ->
                        skip 8UL
                        Skipped
                    | 2UL ->
                        let size = varint ()
                        let from = at
                        skip size
                        Bytes(from, int size)
                    | 5UL ->
                        skip 4UL
                        Single(BinaryPrimitives.ReadSingleLittleEndian(ReadOnlySpan(bytes, at - 4, 4)))
                    | _ -> raise Damaged

                int (tag >>> 3), value
        ]

    let private strict = UTF8Encoding(false, true)

    let private last (number: int) (read: Field -> 'a option) (fallback: 'a) (found: (int * Field) list) : 'a =
        // Of a field that is written twice protobuf takes the last; a field that is absent has the .proto's default.
        found
        |> List.tryFindBack (fun (at, _) -> at = number)
        |> Option.bind (snd >> read)
        |> Option.defaultValue fallback

    let private number number fallback =
        last
            number
            (function
            | Number value -> Some(int (int64 value))
            | _ -> None)
            fallback

    /// Raises `Damaged` or `DecoderFallbackException` where the bytes are not a model file.
    let parse (bytes: byte[]) : PieceModel =
        let outer = fields bytes 0 bytes.Length

        let messages number =
            [
                for at, field in outer do
                    match field with
                    | Bytes(start, length) when at = number -> fields bytes start length
                    | _ -> ()
            ]

        let pieces = messages 1 |> Array.ofList
        let settings = messages 2 |> List.concat
        let normalizer = messages 3

        let text field =
            match field with
            | Bytes(start, length) -> Some(strict.GetString(bytes, start, length))
            | _ -> None

        let score field =
            match field with
            | Single value -> Some(float value)
            | _ -> None

        let data field =
            match field with
            | Bytes(start, length) -> Some(Array.sub bytes start length)
            | _ -> None

        {
            Pieces = pieces |> Array.map (last 1 text "")
            Scores = pieces |> Array.map (last 2 score 0.0)
            // NORMAL is 1, USER_DEFINED is 4.
            IsText = pieces |> Array.map (number 3 1 >> fun kind -> kind = 1 || kind = 4)
            Kind = number 3 1 settings
            Unknown = number 40 0 settings
            Begin = number 41 1 settings
            End = number 42 2 settings
            Padding = number 43 -1 settings
            CharacterMap =
                if normalizer.IsEmpty then
                    None
                else
                    Some(normalizer |> List.concat |> last 2 data Array.empty)
        }

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

    /// The length of the longest sequence at text[from ..], and where its replacement starts; 0 where there is none.
    let longest (text: byte[]) (from: int) : struct (int * int) =
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

        struct (length, replacement)

    /// Whether the table lies inside the file's bytes and each replacement is closed.
    member _.IsWhole: bool =
        map.Length = 0
        || (int64 map.Length > 4L + 4L * int64 units
            && units > 0
            && map[map.Length - 1] = 0uy)

    member _.Normalize(text: string) : string =
        let bytes = Encoding.UTF8.GetBytes text
        let result = ResizeArray<byte> bytes.Length
        let mutable at = 0

        while at < bytes.Length do
            let struct (length, replacement) = longest bytes at

            if length > 0 then
                let mutable from = replacement

                while from >= 0 && from < map.Length && map[from] <> 0uy do
                    result.Add map[from]
                    from <- from + 1

                at <- at + length
            else
                // One whole character: its first byte and the continuations.
                result.Add bytes[at]
                at <- at + 1

                while at < bytes.Length && bytes[at] &&& 0xC0uy = 0x80uy do
                    result.Add bytes[at]
                    at <- at + 1

        Encoding.UTF8.GetString(result.ToArray())

/// The most probable pieces of a word (Viterbi), with sums in float64 as Hugging Face has them.
[<Sealed>]
type internal Unigram(model: PieceModel) =
    let ids = Dictionary<string, int>(StringComparer.Ordinal)

    do
        for id in 0 .. model.Pieces.Length - 1 do
            if model.IsText[id] then
                ids.TryAdd(model.Pieces[id], id) |> ignore

    let byText = ids.GetAlternateLookup<ReadOnlySpan<char>>()
    let longest = model.Pieces |> Array.map String.length |> Array.max

    // SentencePiece's penalty: an unknown character costs 10 more than the rarest piece.
    let unknownScore = Array.min model.Scores - 10.0

    /// The ids of a word; a run of unknown characters is one `unknown`.
    member _.Encode(word: string) : ResizeArray<int> =
        let best = Array.create (word.Length + 1) Double.NegativeInfinity
        let cameFrom = Array.zeroCreate<int>(word.Length + 1)
        let arrivedBy = Array.zeroCreate<int>(word.Length + 1)
        best[0] <- 0.0

        // The first of equal paths stays, the shorter last piece being tried later.
        let offer from until id score =
            if score > best[until] then
                best[until] <- score
                cameFrom[until] <- from
                arrivedBy[until] <- id

        let mutable from = 0

        while from < word.Length do
            let character =
                if Char.IsHighSurrogate word[from] && from + 1 < word.Length then
                    2
                else
                    1

            let mutable isKnown = false

            for length in 1 .. min longest (word.Length - from) do
                let mutable id = 0

                if byText.TryGetValue(word.AsSpan(from, length), &id) then
                    offer from (from + length) id (best[from] + model.Scores[id])
                    isKnown <- isKnown || length = character

            if not isKnown then
                offer from (from + character) model.Unknown (best[from] + unknownScore)

            from <- from + character

        let backwards = ResizeArray<int>()
        let mutable until = word.Length

        while until > 0 do
            let id = arrivedBy[until]

            if not (id = model.Unknown && backwards.Count > 0 && backwards[backwards.Count - 1] = id) then
                backwards.Add id

            until <- cameFrom[until]

        backwards.Reverse()
        backwards
