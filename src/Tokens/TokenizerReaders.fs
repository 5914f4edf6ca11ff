namespace Peft

open System.Text

/// Every reader of a tokenizer's file as a function of bytes alone: it returns, or raises `UserError`. What can be read is
/// used too, on text and on ids that damage would show on.
[<RequireQualifiedAccess>]
module internal TokenizerReaders =
    let private probe =
        "The ﬁrst cafés' 3 tables,\r\n  № 5 — <extra_id_0></s> <|endoftext|>😀 日本\t\u0001é"

    let private using (recipe: TokenizerRecipe) : unit =
        let tokenizer = Tokenizer(TokenizerSettings.apply TokenizerSettings.none recipe)
        tokenizer.Encode(probe, 64) |> tokenizer.Decode |> ignore
        tokenizer.Decode [ -1 .. 300 ] |> ignore

    let private withSettings (settings: TokenizerSettings) : unit =
        let vocabulary =
            "vocab.json", Encoding.UTF8.GetBytes """{"a": 0, "b": 1, "ab": 2, "</s>": 3}"""

        let merges = "merges.txt", Encoding.UTF8.GetBytes "a b\n"

        VocabularyRecipe.read { settings with Class = None } vocabulary merges
        |> TokenizerSettings.apply settings
        |> Tokenizer
        |> fun tokenizer -> tokenizer.Encode probe |> tokenizer.Decode |> ignore

    /// By the name of the file that the bytes stand for.
    let all: (string * (byte[] -> unit)) list =
        [
            "tokenizer.json", TokenizerJson.read "tokenizer.json" >> using
            "spiece.model", PieceRecipe.read "spiece.model" TokenizerSettings.none >> using
            "tokenizer_config.json", TokenizerSettings.readConfig "tokenizer_config.json" >> withSettings
            "added_tokens.json", TokenizerSettings.readAdded "added_tokens.json" >> withSettings
            "vocab.json",
            (fun bytes ->
                VocabularyRecipe.read TokenizerSettings.none ("vocab.json", bytes) ("merges.txt", Array.empty)
                |> using)
            "merges.txt",
            (fun bytes ->
                let letters =
                    [ for letter in 'a' .. 'z' -> $"\"{letter}\": {int letter - int 'a'}" ]
                    @ [ "\"ab\": 26"; "\"<|endoftext|>\": 27" ]

                let vocabulary = "{" + System.String.Join(", ", letters) + "}"

                VocabularyRecipe.read
                    TokenizerSettings.none
                    ("vocab.json", Encoding.UTF8.GetBytes vocabulary)
                    ("merges.txt", bytes)
                |> using)
        ]
