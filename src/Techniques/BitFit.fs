namespace Peft

open TorchSharp

/// BitFit (Ben Zaken et al. 2022).
[<RequireQualifiedAccess>]
module BitFit =
    /// A bias on each selected linear map, from zero, and nothing else trained.
    let adapter (where: Selector) : Adapter =
        Start.wrap where (fun _ inner ->
            let _, fanOut, device = Start.shape inner
            Shifted(inner, Leaf.trained (torch.zeros ([| fanOut |], dtype = torch.float32, device = device))))

    let private biases sites formula =
        Form.atSites sites formula (fun site -> [ Branch.Behind [ Step.Shift("bias", [ site.Out ]) ] ])

    // bitfit.json: layers "q|k|v|o|wi_[01]|w_o", and w_o matches nothing; trained ".*bias|.*layer_norm.*".
    let private tFew =
        { biases
              (Selector.named [ "q"; "k"; "v"; "o"; "wi_0"; "wi_1" ])
              "out on q, k, v, o, wi_0, wi_1, and the layer norms" with
            Own = Form.isNorm
        }

    /// `bitfit`.
    let technique: Technique =
        { Make.technique "bitfit" [] (biases Selector.everywhere "out on every linear map") (fun where _ ->
              adapter where) with
            Others = [ Convention.TFew, tFew ]
            // A plain T5 checkpoint has no biases.
            Merges = false
        }

    /// What the name means.
    let spec: Spec =
        {
            Name = "bitfit"
            Usage = "bitfit"
            Source = "Ben Zaken et al. 2022"
            Summary = "A bias on every linear map."
            First = "number"
            Read = fun _ -> technique
            Examples = [ "bitfit" ]
            HuggingFace = None
        }
