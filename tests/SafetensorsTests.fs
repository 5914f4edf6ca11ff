module Peft.Tests.SafetensorsTests

open System
open System.IO
open System.Text
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

/// A file of this header text and so many bytes of data; `claimed` replaces the header's true length.
let private fileOf (header: byte[]) (data: int) (claimed: uint64) : byte[] =
    Array.concat [ BitConverter.GetBytes claimed; header; Array.zeroCreate data ]

/// What reading bytes as a safetensors file gives: the header, or the one line of a `UserError`.
let private reading (bytes: byte[]) : Result<SafetensorsHeader, string> =
    let mutable result = Error ""

    inTemporaryFolder (fun folder ->
        let path = Path.Combine(folder, "model.safetensors")
        File.WriteAllBytes(path, bytes)

        result <-
            try
                let header = Safetensors.header path
                use _ = torch.NewDisposeScope()
                Safetensors.readAll path |> ignore
                Ok header
            with UserError message ->
                Expect.stringContains message path "the message names the file"
                Expect.equal (message.ReplaceLineEndings(string '\n').Split('\n').Length) 1 "the message is one line"
                Expect.isLessThan message.Length 500 "the message is short"
                Error message)

    result

let private tensor dtype shape (first: int, last: int) =
    $"""{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{first},{last}]}}"""

/// Headers that must be refused, as text, with the bytes of data that follow and a word of the message.
let private maliciousHeaders =
    let one = tensor "F32" "[2]" (0, 8)

    [
        "a range beyond the file", $"""{{"a":{tensor "F32" "[4]" (0, 16)}}}""", 8, "outside"
        "a range that ends before it begins", $"""{{"a":{tensor "F32" "[2]" (8, 0)}}}""", 8, "outside"
        "a negative range", $"""{{"a":{tensor "F32" "[2]" (-8, 0)}}}""", 8, "outside"
        "a gigantic range",
        """{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}""",
        8,
        "outside"
        "overlapping ranges", $"""{{"a":{one},"b":{tensor "F32" "[2]" (4, 12)}}}""", 12, "overlaps"
        "one range for two tensors", $"""{{"a":{one},"b":{one}}}""", 8, "overlaps"
        "a hole", $"""{{"a":{one},"b":{tensor "F32" "[2]" (12, 20)}}}""", 20, "hole"
        "a hole at the start", $"""{{"a":{tensor "F32" "[2]" (4, 12)}}}""", 12, "hole"
        "bytes after the last tensor", $"""{{"a":{one}}}""", 9, "belong to none"
        "bytes without a tensor", "{}", 4, "belong to none"
        "a shape of other size than the range", $"""{{"a":{tensor "F32" "[3]" (0, 8)}}}""", 8, "by its shape"
        "a shape that overflows",
        $"""{{"a":{tensor "F32" "[4294967296,4294967296,4294967296]" (0, 8)}}}""",
        8,
        "impossible shape"
        "a shape that overflows to zero",
        $"""{{"a":{tensor "F32" "[0,9223372036854775807,2]" (0, 0)}}}""",
        0,
        "impossible shape"
        "a shape that wraps to the range",
        $"""{{"a":{tensor "U8" "[4294967296,4294967297]" (0, 0)}}}""",
        0,
        "impossible shape"
        "negative extents that multiply to the range",
        $"""{{"a":{tensor "F32" "[-1,-2]" (0, 8)}}}""",
        8,
        "impossible shape"
        "an empty tensor whose other extents no memory holds",
        $"""{{"a":{tensor "F64" "[0,4611686018427387904,4]" (0, 0)}}}""",
        0,
        "impossible shape"
        "an extent beyond 64 bits", $"""{{"a":{tensor "F32" "[99999999999999999999]" (0, 8)}}}""", 8, "damaged"
        "a fraction as extent", $"""{{"a":{tensor "F32" "[2.5]" (0, 8)}}}""", 8, "damaged"
        "too many dimensions",
        $"""{{"a":{tensor "U8" ("[" + String.Join(",", Array.create 65 "1") + "]") (0, 1)}}}""",
        1,
        "impossible shape"
        "an unknown dtype", $"""{{"a":{tensor "F8_E9" "[8]" (0, 8)}}}""", 8, "unknown dtype F8_E9"
        "three offsets", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}}""", 8, "data_offsets"
        "duplicate names", $"""{{"a":{one},"a":{tensor "F32" "[2]" (8, 16)}}}""", 16, "one name"
        "duplicate names, one escaped", $"""{{"a":{one},"\u0061":{tensor "F32" "[2]" (8, 16)}}}""", 16, "one name"
        "no dtype", """{"a":{"shape":[2],"data_offsets":[0,8]}}""", 8, "no dtype"
        "no shape", """{"a":{"dtype":"F32","data_offsets":[0,8]}}""", 8, "no shape"
        "no offsets", """{"a":{"dtype":"F32","shape":[2]}}""", 8, "no data_offsets"
        "a number for the dtype", """{"a":{"dtype":32,"shape":[2],"data_offsets":[0,8]}}""", 8, "damaged"
        "null for the dtype", """{"a":{"dtype":null,"shape":[2],"data_offsets":[0,8]}}""", 8, "unknown dtype"
        "a string for the shape", """{"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}}""", 8, "damaged"
        "strings for the offsets", """{"a":{"dtype":"F32","shape":[2],"data_offsets":["0","8"]}}""", 8, "damaged"
        "a number for a tensor", """{"a":7}""", 0, "damaged"
        "numbers in the metadata", """{"__metadata__":{"epoch":7}}""", 0, "damaged"
        "a string for the metadata", """{"__metadata__":"pt"}""", 0, "damaged"
        "an array for the header", "[1,2]", 0, "damaged"
        "a number for the header", "12345678", 0, "damaged"
        "half a header", """{"a":{"dtype":"F32","sha""", 0, "damaged"
        "no JSON at all", "\u0001\u0002garbage", 0, "damaged"
        "nesting without end", String('[', 3000), 0, "damaged"
        "a lone surrogate in a name", """{"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "damaged"
        "line breaks in a name",
        """{"a\nb\u2028c\r":{"dtype":"Q\n7","shape":[2],"data_offsets":[0,8]}}""",
        8,
        "unknown dtype"
        "an endless name", $"""{{"{String('x', 5000)}":{tensor "F32" "[3]" (0, 8)}}}""", 8, "by its shape"
    ]

let private refusals =
    testList
        "are refused in one line"
        [
            for name, header, data, word in maliciousHeaders do
                testCase name
                <| fun () ->
                    let bytes = Encoding.UTF8.GetBytes header

                    match reading (fileOf bytes data (uint64 bytes.Length)) with
                    | Ok _ -> failtest "it was accepted"
                    | Error message -> Expect.stringContains message word "the message says why"

            for claimed in
                [
                    0UL
                    1UL
                    3UL
                    5000UL
                    2147483648UL
                    99_999_999UL
                    9223372036854775807UL
                    18446744073709551615UL
                ] do
                testCase $"a header that claims {claimed} bytes"
                <| fun () ->
                    let before = GC.GetAllocatedBytesForCurrentThread()
                    Expect.isError (reading (fileOf (Encoding.UTF8.GetBytes "{}  ") 0 claimed)) "refused"
                    let allocated = GC.GetAllocatedBytesForCurrentThread() - before
                    Expect.isLessThan allocated 1_000_000L "what a header claims is not allocated"

            for length in 0..15 do
                testCase $"a file of {length} bytes"
                <| fun () -> Expect.isError (reading (Array.create length 32uy)) "refused"

            testCase "a header that is no UTF-8"
            <| fun () ->
                let bytes = Array.concat [ "{\""B; [| 0xFFuy; 0xFEuy |]; "\":1}"B ]
                Expect.isError (reading (fileOf bytes 0 (uint64 bytes.Length))) "refused"

            testCase "every cut of a valid file"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "whole.safetensors")
                    use whole = torch.arange 6L
                    Safetensors.write path (Map.ofList [ "k", "v" ]) [ "a", whole ]
                    let bytes = File.ReadAllBytes path

                    for length in 0..7 .. bytes.Length - 1 do
                        Expect.isError (reading (Array.truncate length bytes)) $"cut at {length}")

            testCase "a folder and a path that does not exist"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    userErrorOf (fun () -> Safetensors.header folder |> ignore) |> ignore

                    userErrorOf (fun () -> Safetensors.readAll (Path.Combine(folder, "none")) |> ignore)
                    |> ignore)
        ]

let private everyDtype =
    [
        torch.float64
        torch.float32
        torch.float16
        torch.bfloat16
        torch.int64
        torch.int32
        torch.int16
        torch.int8
        torch.uint8
        torch.bool
    ]

let private roundTrips =
    testList
        "what is written is read"
        [
            for dtype in everyDtype do
                testCase $"in {dtype}: matrices, empty ones, numbers, views"
                <| fun () ->
                    inTemporaryFolder (fun folder ->
                        use _ = torch.NewDisposeScope()

                        let make (shape: int64 list) =
                            torch.randn(List.toArray shape).mul(50.0.ToScalar()).``to`` dtype

                        let path = Path.Combine(folder, "t.safetensors")

                        let written =
                            [
                                "matrix", make [ 3L; 5L ]
                                "empty", make [ 0L; 4L ]
                                "number", make []
                                "view", (make [ 4L; 6L ]).t().narrow(0L, 1L, 3L)
                            ]

                        Safetensors.write path Map.empty written
                        let found = Safetensors.readAll path
                        Expect.equal found.Count written.Length "as many"

                        for name, tensor in written do
                            Expect.equal found[name].dtype dtype name
                            identical found[name] tensor name)

            testCase "metadata, names of any script, no tensor at all"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "t.safetensors")
                    let metadata = Map.ofList [ "format", "pt"; "größe \"x\"\n", "日本\u0000" ]
                    Safetensors.write path metadata []
                    Expect.equal (Safetensors.readMetadata path) metadata "metadata"
                    use one = torch.ones 2L
                    Safetensors.write path Map.empty [ "größe \"x\"\n日本", one ]
                    Expect.equal (Safetensors.header path).Entries["größe \"x\"\n日本"].Shape [| 2L |] "name")

            testCase "null for the metadata is none, as the reference library reads it"
            <| fun () ->
                let header =
                    Encoding.UTF8.GetBytes $"""{{"__metadata__":null,"a":{tensor "F32" "[2]" (0, 8)}}}"""

                match reading (fileOf header 8 (uint64 header.Length)) with
                | Ok found ->
                    Expect.isEmpty found.Metadata "no metadata"
                    Expect.equal found.Entries["a"].Shape [| 2L |] "the tensor is there"
                | Error message -> failtest message

            testCase "extreme shapes are read as they are: a number, many ones, an empty tensor with a long side"
            <| fun () ->
                let ones = "[" + String.Join(",", Array.create 64 "1") + "]"

                let header =
                    $"""{{"a":{tensor "U8" "[]" (0, 1)},"b":{tensor "U8" ones (1, 2)},"c":{tensor "F64" "[0,1073741824,1073741823]" (2, 2)}}}"""
                    |> Encoding.UTF8.GetBytes

                match reading (fileOf header 2 (uint64 header.Length)) with
                | Ok found -> Expect.equal found.Entries["c"].Shape [| 0L; 1073741824L; 1073741823L |] "the empty one"
                | Error message -> failtest message

            testCase "tensors that a gradient belongs to"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "t.safetensors")
                    use trained = new Modules.Parameter(torch.ones 2L)
                    Safetensors.write path Map.empty [ "p", trained ]
                    let found = Safetensors.readAll path
                    identical found["p"] (trained.detach ()) "p")

            testCase "two tensors of one name are the programmer's mistake, and leave no file"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    use one = torch.ones 2L

                    let write () =
                        Safetensors.write (Path.Combine(folder, "t.safetensors")) Map.empty [ "a", one; "a", one ]

                    Expect.throwsT<ArgumentException> write "refused"
                    Expect.isEmpty (Directory.GetFiles folder) "no file")
        ]

let private layout =
    testList
        "the layout is the reference library's"
        [
            for folder in [ [ "t5-gated" ]; [ "t5-relu-tied" ]; [ "extended"; "t5-gated-inner" ] ] do
                for file in [ "model.safetensors"; "inputs.safetensors" ] do
                    let name = String.concat "/" (folder @ [ file ])

                    testCase $"{name}, read and written, is the same file"
                    <| fun () ->
                        inTemporaryFolder (fun temporary ->
                            use _ = torch.NewDisposeScope()
                            let path = golden (folder @ [ file ])
                            let copy = Path.Combine(temporary, file)
                            let tensors = [ for pair in Safetensors.readAll path -> pair.Key, pair.Value ]
                            Safetensors.write copy (Safetensors.readMetadata path) (List.rev tensors)
                            Expect.isTrue (File.ReadAllBytes copy = File.ReadAllBytes path) "byte for byte")

            testCase "widest dtype first, then names; data begin at a multiple of 8"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    use _ = torch.NewDisposeScope()
                    let path = Path.Combine(folder, "t.safetensors")

                    let tensors =
                        [ for dtype in List.rev everyDtype -> $"{dtype}", torch.ones(3L).``to`` dtype ]

                    Safetensors.write path Map.empty (("a", torch.ones 1L) :: tensors)

                    let entries =
                        [ for pair in (Safetensors.header path).Entries -> pair.Value ]
                        |> List.sortBy _.Offset

                    Expect.equal (entries.Head.Offset % 8L) 0L "aligned"

                    let order =
                        [
                            "Int64"
                            "Float64"
                            "Float32"
                            "a"
                            "Int32"
                            "BFloat16"
                            "Float16"
                            "Int16"
                            "Int8"
                            "Byte"
                            "Bool"
                        ]

                    Expect.equal (entries |> List.map _.Name) order "order")
        ]

let private mutations =
    testPropertyWithConfig
        { FsCheckConfig.defaultConfig with
            maxTest = 400
        }
        "a header with mutated bytes is read or refused, never another exception"
    <| fun (changes: (uint16 * byte) list) ->
        let header =
            Encoding.UTF8.GetBytes
                $"""{{"__metadata__":{{"format":"pt"}},"a":{tensor "F32" "[2,2]" (0, 16)},"b":{tensor "BF16" "[]" (16, 18)},"c":{tensor "I8" "[0]" (18, 18)}}}"""

        let bytes = fileOf header 18 (uint64 header.Length)

        for place, value in changes do
            // The first eight bytes, and the digits and signs of the rest, are where it hurts most.
            let value =
                if value % 2uy = 0uy then
                    value
                else
                    "0123456789-[]{}\",:.eE"B[int value % 21]

            bytes[int place % (header.Length + 8)] <- value

        reading bytes |> ignore

[<Tests>]
let tests = testList "Safetensors" [ roundTrips; layout; refusals; mutations ]
