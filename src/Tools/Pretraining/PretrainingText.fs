namespace Peft

open System
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.RegularExpressions
open Peft.Synthetic

/// A stream of training rows, each decided by its number alone.
[<ReferenceEquality>]
type RowSource =
    {
        Name: string
        /// What the rows are made from, where that is not the program itself: a checksum of the files.
        Content: string
        /// Row `index` of the stream; asked from several threads at once.
        Row: int -> EncodedRow
    }

/// Text files, cut into pieces of tokens.
[<ReferenceEquality>]
type TextPieces =
    {
        Pieces: int[][]
        /// SHA-256 of the files, in their order.
        Checksum: string
    }

/// What a small T5 is pretrained on: the project's generated text and instructions, and text files.
[<RequireQualifiedAccess>]
module PretrainingText =
    let private sentinels = 100

    let private corrupt (tokenizer: Tokenizer) (key: string) (index: int) (ids: int[]) : EncodedRow =
        // The row's own chance: a hash of the stream's name mixed with the row's number.
        let start =
            key
            |> Seq.fold (fun hash letter -> (hash ^^^ uint64 letter) * 1099511628211UL) 14695981039346656037UL

        let next = Shuffle.splitMix64 (start + uint64 index * 0x9E3779B97F4A7C15UL)
        SpanCorruption.corrupt sentinels tokenizer.SentinelId tokenizer.EosId next ids

    let private withoutEnd (ids: int[]) = Array.truncate (ids.Length - 1) ids

    /// Span corruption of the generated corpus.
    let corpus (tokenizer: Tokenizer) (seed: int) (limit: int) : RowSource =
        let row index =
            Corpus.line seed index
            |> tokenizer.Encode
            |> withoutEnd
            |> Array.truncate limit
            |> corrupt tokenizer $"corpus/{seed}" index

        {
            Name = "generated text"
            Content = ""
            Row = row
        }

    /// Words of a text in another order, to be written down as they stand.
    let private copied (tokenizer: Tokenizer) (key: string) (limit: int) (index: int) (text: string) : EncodedRow =
        let words = text.Split ' '

        let text =
            Shuffle.order $"{key}/{index}" words.Length
            |> Array.truncate (4 + index % 17)
            |> Array.map (fun place -> words[place])
            |> String.concat " "

        {
            Ids = tokenizer.Encode($"Copy: {text}", limit)
            Labels = tokenizer.Encode(text, limit)
        }

    /// Words of a generated line and of the vocabulary to be copied: what names and numbers need, and what span corruption
    /// alone teaches late.
    let copying (tokenizer: Tokenizer) (seed: int) (limit: int) : RowSource =
        {
            Name = "copying"
            Content = ""
            Row =
                fun index ->
                    let chance = Chance.ofRow "copied words" seed index
                    let words = Array.init 8 (fun _ -> chance.Pick OptionNames.pieces)

                    copied
                        tokenizer
                        $"copying/{seed}"
                        limit
                        index
                        (Corpus.line seed index + " " + String.Join(" ", words))
        }

    /// Generated instructions and their answers.
    let instructions (tokenizer: Tokenizer) (seed: int) (limit: int) : RowSource =
        let row index =
            let example = Instructions.example seed index

            {
                Ids = tokenizer.Encode(example.Input, limit)
                Labels = tokenizer.Encode(example.Target, limit)
            }

        {
            Name = "instructions"
            Content = ""
            Row = row
        }

    /// The text proper of a Project Gutenberg file: between its START and END lines; other files whole.
    let private proper (text: string) =
        let body =
            Regex.Match(text, @"\*\*\* ?START OF[^\n]*\n(?<body>.*?)\n\*\*\* ?END OF", RegexOptions.Singleline)

        if body.Success then body.Groups["body"].Value else text

    let private readBytes (file: string) : byte[] =
        try
            File.ReadAllBytes file
        with
        | :? IOException
        | :? UnauthorizedAccessException as error -> userError $"the text file {file} cannot be read: {error.Message}"

    let private textOf (file: string) (bytes: byte[]) : string =
        if Array.contains 0uy bytes then
            userError $"{file} is no text: it holds zero bytes. Give plain UTF-8 text files."

        try
            (UTF8Encoding(false, true).GetString bytes).TrimStart('\uFEFF')
        with :? DecoderFallbackException as error ->
            userError $"{file} is not UTF-8 at byte {error.Index}. Convert it, or leave it out."

    /// The paragraphs of a text, each on one line.
    let private paragraphs (text: string) : string[] =
        Regex.Split(proper text, @"\r?\n\s*\r?\n")
        |> Array.map (fun paragraph -> Regex.Replace(paragraph, @"\s+", " ").Trim())
        |> Array.filter (fun paragraph -> paragraph.Length > 0)

    /// Pieces of at most `limit` tokens: paragraphs are joined until a piece is full, long ones are cut.
    let private pieces (tokenizer: Tokenizer) (limit: int) (text: string) : int[][] =
        paragraphs text
        |> Array.collect (tokenizer.Encode >> withoutEnd)
        |> Array.chunkBySize limit
        |> Array.filter (fun piece -> piece.Length >= 8)

    /// Text files to learn from, read once.
    let read (tokenizer: Tokenizer) (limit: int) (paths: string list) : TextPieces =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256

        let pieces =
            paths
            |> List.map (fun file ->
                let bytes = readBytes file
                hash.AppendData bytes

                match pieces tokenizer limit (textOf file bytes) with
                | [||] -> userError $"{file} holds no text to learn from."
                | found -> found)
            |> Array.concat

        {
            Pieces = pieces
            Checksum = Convert.ToHexString(hash.GetHashAndReset())
        }

    /// Pieces of text files, drawn in a new order each time round.
    let private drawn (key: string) (texts: TextPieces) : int -> int[] =
        // One reference, replaced as a whole: rows are drawn on several threads.
        let kept = ref (-1, [||])

        let order turn =
            match kept.Value with
            | known, order when known = turn -> order
            | _ ->
                let order = Shuffle.order $"{key}/{turn}" texts.Pieces.Length
                kept.Value <- turn, order
                order

        fun index ->
            let turn, place = index / texts.Pieces.Length, index % texts.Pieces.Length
            texts.Pieces[(order turn)[place]]

    /// Span corruption of text files.
    let files (tokenizer: Tokenizer) (seed: int) (texts: TextPieces) : RowSource =
        let piece = drawn $"text/{seed}" texts

        {
            Name = "text files"
            Content = texts.Checksum
            Row = fun index -> corrupt tokenizer $"text/{seed}" index (piece index)
        }

    /// Words of text files to be copied as `copying` has it: ordinary English holds pieces that no generator writes.
    let copyingFiles (tokenizer: Tokenizer) (seed: int) (limit: int) (texts: TextPieces) : RowSource =
        let piece = drawn $"copied text/{seed}" texts

        {
            Name = "copying of text files"
            Content = texts.Checksum
            Row = fun index -> copied tokenizer $"copied text/{seed}" limit index (tokenizer.Decode(piece index))
        }
