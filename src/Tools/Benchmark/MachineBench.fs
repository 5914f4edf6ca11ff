namespace Peft

open Peft.Kernels
open TorchSharp

/// What the machine can do: its matrix products, and the price of a call.
[<RequireQualifiedAccess>]
module MachineBench =
    /// Tokens, width in and width out of the products that a row's model is made of, and a large square one.
    let shapes (row: BenchRow) : (int64 * int64 * int64) list =
        let shape, tokens = row.Model.Shape, row.Batch * row.InputLength

        [
            for site in shape.Sites do
                tokens, int site.In, int site.Out
            row.Batch * row.TargetLength, shape.Width, shape.Vocabulary
            2048, 2048, 2048
        ]
        |> List.map (fun (tokens, fanIn, fanOut) -> int64 tokens, int64 fanIn, int64 fanOut)
        |> List.distinct

    /// A repetition takes about this long, so that the clock's grain does not count.
    let private enough = 0.05

    /// The faster of the model's own product and libtorch's.
    let private gigaflops (row: BenchRow) (dtype: torch.ScalarType) (tokens, fanIn, fanOut) =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let x = torch.randn([| tokens; fanIn |]).``to`` dtype
        let weight = torch.randn([| fanOut; fanIn |]).``to`` dtype

        let fastest (product: unit -> torch.Tensor) =
            let run () = product().Dispose()
            let once = Repeated.times 2 1 run |> List.head
            let count = max 1 (int (enough / once))

            let seconds =
                Repeated.times row.WarmUp row.Repeat (fun () ->
                    for _ in 1..count do
                        run ())
                |> List.min

            2.0 * float (tokens * fanIn * fanOut) * float count / seconds / 1e9

        max (fastest (fun () -> Product.linear weight x)) (fastest (fun () -> torch.nn.functional.linear (x, weight)))

    /// GFLOP/s of each shape as `y = x Wᵀ`, by name `tokens x in x out`. A peak is what was reached once: the fastest
    /// repetition counts, not the median.
    let product (row: BenchRow) : Measurement =
        let dtype = Precision.parse row.Dtype

        shapes row
        |> List.map (fun (tokens, fanIn, fanOut) ->
            $"{tokens} x {fanIn} x {fanOut}", gigaflops row dtype (tokens, fanIn, fanOut))
        |> Repeated.measurement []

    /// GFLOP/s of one product of a gigaflop in a dtype, the faster of two: known within a second.
    let speed (threads: int) (dtype: string) : float =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        if threads > 0 then
            torch.set_num_threads threads

        let matrix rows =
            torch.randn([| rows; 1024L |]).``to``(Precision.parse dtype)

        let x, weight = matrix 512L, matrix 1024L

        let seconds =
            Repeated.times 1 2 (fun () -> (Product.linear weight x).Dispose()) |> List.min

        2.0 * float (x.numel ()) * 1024.0 / seconds / 1e9

    let private calls = 20_000

    /// Nanoseconds of an operation on one number, in place, and with a result that is freed.
    let overhead (row: BenchRow) : Measurement =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let x, one = torch.zeros 1L, torch.ones 1L

        let nanoseconds (work: unit -> unit) =
            let all () =
                for _ in 1..calls do
                    work ()

            1e9 * (Repeated.times row.WarmUp row.Repeat all |> Repeated.median)
            / float calls

        Repeated.measurement
            []
            [
                "ns in place", nanoseconds (fun () -> x.add_ one |> ignore)
                "ns with a result", nanoseconds (fun () -> (x.add one).Dispose())
            ]
