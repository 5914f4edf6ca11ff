namespace Peft

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
        /// 1 is text, 2 unknown, 3 control, 4 the user's own, 5 unused, 6 a byte.
        Kinds: int[]
        /// 1 is Unigram; 2, 3 and 4 are BPE, words and characters.
        Kind: int
        Unknown: int
        Begin: int
        End: int
        Padding: int
        /// The compiled character map of the normalizer; none where the file ends before it.
        CharacterMap: byte[] option
        /// A space mark is put before the text.
        AddsPrefix: bool
        /// White space at the ends is dropped, and runs of it are one space.
        RemovesSpaces: bool
        /// Characters without a piece become their bytes.
        FallsBack: bool
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
        let mutable found = 0

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

                found <- found + 1

                if found > TokenizerFile.idLimit then
                    raise Damaged

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
            Kinds = pieces |> Array.map (number 3 1)
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
            AddsPrefix = normalizer |> List.concat |> number 3 1 <> 0
            RemovesSpaces = normalizer |> List.concat |> number 4 1 <> 0
            FallsBack = number 35 0 settings <> 0
        }

    /// Whether the piece of an id may stand for text.
    let isText (model: PieceModel) (id: int) : bool =
        model.Kinds[id] = 1 || model.Kinds[id] = 4

    /// Reads a model file; `UserError` where it is none, or damaged.
    let read (file: string) (bytes: byte[]) : PieceModel =
        let refuse problem =
            TokenizerFile.refuse
                file
                $"{problem}: take spiece.model or tokenizer.model from the checkpoint's folder anew"

        let model =
            try
                parse bytes
            with
            | Damaged
            | :? DecoderFallbackException -> refuse "is not a SentencePiece model, or it is damaged"

        if model.Pieces.Length = 0 then
            refuse "is not a SentencePiece model, it has no pieces"

        for piece in model.Pieces do
            TokenizerFile.checkPiece file piece |> ignore

        match model.CharacterMap with
        | None -> refuse "is cut short, its normalizer is missing"
        | Some map when not (CharacterMap map).IsWhole -> refuse "is damaged, its normalizer's table does not fit"
        | Some _ -> ()

        if not (Array.forall Double.IsFinite model.Scores) then
            refuse "is damaged, a piece has no finite score"

        for name, id in
            [
                "unk", model.Unknown
                "bos", model.Begin
                "eos", model.End
                "pad", model.Padding
            ] do
            if id >= model.Pieces.Length then
                refuse $"is damaged, its {name}_id is {id}, and it has {model.Pieces.Length} pieces"

        model
