//! `#[derive(Module)]`: the walk over a struct's fields. `#[derive(Attributes)]`: an operator's fields
//! as values.

mod attributes;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Field, Fields, Path, Type, parse_macro_input};

/// Makes a struct a module: every field is named once to the visitor of `Module::visit`, in the
/// order of field names.
///
/// On a field: `#[module(skip)]` leaves it out of the walk; `#[module(base)]` marks the `Base` that
/// keeps mode and hooks. Without such a field they are kept with the first field that is a
/// parameter, a buffer or a module.
///
/// On the struct: `#[module(info = path)]` names a function from `&Self` to the text that
/// descriptions show in parentheses; `#[module(flatten)]` saves state with one dimension.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes the fields of a struct the attributes of an operator: they can be listed by name, compared,
/// printed, written to a file, and the struct made again from them. Also of structs and enums that
/// are fields of such a struct.
#[proc_macro_derive(Attributes)]
pub fn derive_attributes(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    attributes::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

#[derive(Default)]
struct Options {
    skip: bool,
    base: bool,
    flatten: bool,
    info: Option<Path>,
}

fn options(attributes: &[Attribute], on_field: bool) -> syn::Result<Options> {
    let mut o = Options::default();
    for a in attributes.iter().filter(|a| a.path().is_ident("module")) {
        a.parse_nested_meta(|meta| {
            if on_field && meta.path.is_ident("skip") {
                o.skip = true;
            } else if on_field && meta.path.is_ident("base") {
                o.base = true;
            } else if !on_field && meta.path.is_ident("flatten") {
                o.flatten = true;
            } else if !on_field && meta.path.is_ident("info") {
                o.info = Some(meta.value()?.parse()?);
            } else if on_field {
                return Err(meta.error("a field takes `skip` or `base`"));
            } else {
                return Err(meta.error("a struct takes `info = path` or `flatten`"));
            }
            Ok(())
        })?;
    }
    Ok(o)
}

/// Whether a field of this type always holds exactly one parameter, buffer or module, as far as
/// its spelling tells.
fn may_anchor(ty: &Type) -> bool {
    const NEVER: [&str; 20] = [
        "Vec",
        "Option",
        "BTreeMap",
        "PhantomData",
        "String",
        "bool",
        "char",
        "u8",
        "u16",
        "u32",
        "u64",
        "usize",
        "i8",
        "i16",
        "i32",
        "i64",
        "isize",
        "f32",
        "f64",
        "Shape",
    ];
    match ty {
        Type::Path(p) => p.path.segments.last().is_some_and(|s| {
            !NEVER.contains(&s.ident.to_string().as_str())
                && s.ident != "DType"
                && s.ident != "ConvParams"
        }),
        _ => false,
    }
}

fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    let name = &input.ident;
    let on_struct = options(&input.attrs, false)?;
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new(name.span(), "only a struct can be a module"));
    };
    let mut fields: Vec<(String, Tokens, &Field, Options)> = Vec::new();
    for (i, field) in data.fields.iter().enumerate() {
        let (text, member) = match &field.ident {
            Some(ident) => (ident.to_string().trim_start_matches("r#").to_string(), quote!(#ident)),
            None => {
                let index = syn::Index::from(i);
                (i.to_string(), quote!(#index))
            }
        };
        fields.push((text, member, field, options(&field.attrs, true)?));
    }
    let base = match fields.iter().find(|(.., o)| o.base) {
        Some((_, member, ..)) => quote!(&self.#member),
        None => match fields.iter().find(|(_, _, f, o)| !o.skip && may_anchor(&f.ty)) {
            Some((_, member, ..)) => quote!(::tengen::nn::Anchor::anchor(&self.#member).owner()),
            None => {
                return Err(syn::Error::new(
                    name.span(),
                    "no field can keep this module's mode and hooks; add `#[module(base)] base: Base`",
                ));
            }
        },
    };
    let declared: Vec<String> = fields.iter().map(|(text, ..)| text.clone()).collect();
    if matches!(data.fields, Fields::Named(_)) {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let visits = fields.iter().filter(|(.., o)| !o.skip && !o.base).map(|(text, member, f, _)| {
        quote_spanned!(f.ty.span()=> ::tengen::nn::Field::visit_field(&self.#member, #text, visit);)
    });
    let info = on_struct.info.map(|path| {
        quote! {
            fn info(&self) -> ::std::string::String {
                #path(self)
            }
        }
    });
    let flatten = on_struct.flatten.then(|| {
        quote! {
            fn flattens_state(&self) -> bool {
                true
            }
        }
    });
    let (generics, types, bounds) = input.generics.split_for_impl();
    let text = name.to_string();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::tengen::nn::Module for #name #types #bounds {
            fn base(&self) -> &::tengen::nn::Base {
                #base
            }
            fn visit<'a>(
                &'a self,
                visit: &mut dyn ::core::ops::FnMut(&str, ::tengen::nn::Member<'a>),
            ) {
                let _ = &visit;
                #(#visits)*
            }
            fn as_module(&self) -> &dyn ::tengen::nn::Module {
                self
            }
            fn type_name(&self) -> &'static str {
                #text
            }
            fn declared(&self) -> &'static [&'static str] {
                &[#(#declared),*]
            }
            #info
            #flatten
        }
        #[automatically_derived]
        impl #generics ::tengen::nn::Field for #name #types #bounds {
            fn visit_field<'a>(
                &'a self,
                name: &str,
                visit: &mut dyn ::core::ops::FnMut(&str, ::tengen::nn::Member<'a>),
            ) {
                visit(name, ::tengen::nn::Member::Module(self));
            }
        }
        #[automatically_derived]
        impl #generics ::tengen::nn::Anchor for #name #types #bounds {
            fn anchor(&self) -> &::tengen::nn::Base {
                ::tengen::nn::Module::base(self)
            }
        }
    })
}
